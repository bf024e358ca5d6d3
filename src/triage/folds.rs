//! Cases parted into folds, each class evenly, by the cases' own hashes: the same parting
//! whatever order they come in.

/// The fold of each case, from 0. `keys` tell cases apart.
pub fn folds(keys: &[&str], labels: &[usize], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by_key(|case| (labels[*case], keys[*case]));
    let mut fold = vec![0; keys.len()];
    let (mut class, mut rank) = (usize::MAX, 0);
    for case in order {
        if labels[case] != class {
            // Each class begins with another fold, so that all come out alike.
            (class, rank) = (labels[case], labels[case]);
        }
        fold[case] = rank % count.max(1);
        rank += 1;
    }
    fold
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fold_holds_its_share_of_every_class_in_any_order() {
        let keys: Vec<String> = (0..53)
            .map(|i| format!("{:04}", i * 7919 % 10000))
            .collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let labels: Vec<usize> = (0..53).map(|i| i % 3).collect();
        let fold = folds(&keys, &labels, 5);
        for class in 0..3 {
            for number in 0..5 {
                let mine = (0..53).filter(|i| labels[*i] == class && fold[*i] == number);
                assert!((3..=4).contains(&mine.count()));
            }
        }
        let back = |values: &[usize]| -> Vec<usize> { values.iter().rev().copied().collect() };
        let turned: Vec<&str> = keys.iter().rev().copied().collect();
        assert_eq!(folds(&turned, &back(&labels), 5), back(&fold));
    }
}
