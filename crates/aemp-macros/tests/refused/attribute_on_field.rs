use aemp_macros::Message;

#[derive(Message)]
enum Work {
    Add(#[message(tag = "x")] u8),
}

fn main() {}
