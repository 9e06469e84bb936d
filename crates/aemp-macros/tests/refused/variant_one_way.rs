use aemp_macros::Message;

#[derive(serde::Serialize, serde::Deserialize, Message)]
enum Work {
    Load,
    #[serde(skip_serializing)]
    Stop,
}

fn main() {}
