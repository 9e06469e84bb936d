use aemp_macros::Message;

#[derive(Message)]
union Bits {
    number: u32,
    bytes: [u8; 4],
}

fn main() {}
