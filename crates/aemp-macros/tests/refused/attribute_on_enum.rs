use aemp_macros::Message;

#[derive(Message)]
#[message(tag = "work")]
enum Work {
    Add(u8),
}

fn main() {}
