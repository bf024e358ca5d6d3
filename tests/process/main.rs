//! Tests that set what belongs to the whole process, and so have one of their own: the memory
//! that runs may take (`budget`), and who decodes images (`isolated`). Neither may run beside the
//! tests of the other two binaries; they do not disturb one another.

#[path = "../common/mod.rs"]
mod common;

mod budget;
mod isolated;
