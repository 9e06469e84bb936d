use aemp_macros::Message;

fn five(number: &Option<u8>) -> bool {
    *number == Some(5)
}

fn default_five() -> Option<u8> {
    Some(5)
}

#[derive(serde::Serialize, serde::Deserialize, Message)]
enum Work {
    Load {
        #[serde(default = "default_five", skip_serializing_if = "five")]
        size: Option<u8>,
        name: String,
    },
}

fn main() {}
