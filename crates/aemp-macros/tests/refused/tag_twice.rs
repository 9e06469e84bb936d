use aemp_macros::Message;

#[derive(Message)]
enum Work {
    #[message(tag = "a", tag = "b")]
    Add(u8),
}

fn main() {}
