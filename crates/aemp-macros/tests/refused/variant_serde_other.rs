use aemp_macros::Message;

#[derive(serde::Serialize, serde::Deserialize, Message)]
enum Work {
    Load,
    #[serde(other)]
    Rest,
}

fn main() {}
