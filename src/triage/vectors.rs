//! Plain arithmetic on embeddings, in a fixed order of sums: the same bits on every machine.

/// The vector of length 1 with this direction; a zero vector stays zero.
pub fn unit(vector: &[f32]) -> Vec<f32> {
    let length = dot(vector, vector).sqrt();
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    let scaled = vector.iter().map(|v| (f64::from(*v) * scale) as f32);
    scaled.collect()
}

/// In double precision: two implementations of the formula must agree to 1e-5.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let products = a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y));
    products.sum()
}
