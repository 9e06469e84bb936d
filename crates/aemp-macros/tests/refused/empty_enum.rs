use aemp_macros::Message;

#[derive(Message)]
enum Never {}

fn main() {}
