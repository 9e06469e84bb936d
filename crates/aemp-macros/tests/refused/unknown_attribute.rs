use aemp_macros::Message;

#[derive(Message)]
enum Work {
    #[message(name = "add")]
    Add(u8),
}

fn main() {}
