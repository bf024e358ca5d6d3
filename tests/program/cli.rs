//! What the program says, word for word: `TRYCMD=overwrite cargo test --release --test program cli::`
//! writes the transcripts anew after a wanted change.

#[test]
fn transcripts() {
    trycmd::TestCases::new().case("tests/cli/*.trycmd");
}
