use aemp_macros::Message;

#[derive(Message)]
enum Work {
    #[message(other)]
    Unknown,
    #[message(other)]
    Rest,
}

fn main() {}
