use aemp_macros::Message;

#[derive(Message)]
#[message(other)]
struct Work;

fn main() {}
