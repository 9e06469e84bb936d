use aemp_macros::Message;

#[derive(serde::Serialize, serde::Deserialize, Message)]
struct Work {
    size: Option<Option<u8>>,
}

fn main() {}
