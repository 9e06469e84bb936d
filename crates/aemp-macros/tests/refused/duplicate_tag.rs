use aemp_macros::Message;

#[derive(Message)]
enum Work {
    AddAll(u8),
    Stop,
    #[message(tag = "add_all")]
    Sum(u8),
}

fn main() {}
