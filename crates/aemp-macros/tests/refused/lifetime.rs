use aemp_macros::Message;

#[derive(Message)]
enum Borrowed<'a, T> {
    Text(&'a str, T),
}

fn main() {}
