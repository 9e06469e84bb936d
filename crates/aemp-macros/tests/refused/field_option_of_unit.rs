use aemp_macros::Message;

#[derive(serde::Serialize, serde::Deserialize, Message)]
enum Work {
    Done(Option<()>, u8),
}

fn main() {}
