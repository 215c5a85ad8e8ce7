/// Placeholder.
#[derive(Debug)]
pub struct FakeKind;
