use aemp_macros::Message;

#[derive(serde::Serialize, serde::Deserialize, Message)]
struct Work {
    name: String,
    #[serde(default, skip_serializing)]
    cache: u8,
    size: u8,
}

fn main() {}
