use aemp_macros::Message;

#[derive(Message)]
enum Work {
    #[message(other, tag = "x")]
    Unknown(String),
}

fn main() {}
