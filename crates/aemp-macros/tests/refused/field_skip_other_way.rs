use aemp_macros::Message;

#[derive(serde::Serialize, serde::Deserialize, Message)]
enum Work {
    Load(String, #[serde(skip_deserializing)] u8, u8),
}

fn main() {}
