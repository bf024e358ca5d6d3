use super::*;
use crate::device::case_error::CaseError;
use crate::storage::Disk;

pub fn open(state: &Path, wanted: &[PathBuf]) -> Arc<Images> {
    let wanted = wanted.iter().map(|path| (path.clone(), None)).collect();
    let storage = Disk::make(state).unwrap();
    let disk = DiskSpace::new(Arc::clone(&storage), 0);
    Arc::new(Images::open(storage, &wanted, disk, Clock::system()).unwrap())
}

fn wanted(begun: Result<Begun, CaseError>) -> Upload {
    match begun {
        Ok(Begun::Wanted(upload)) => *upload,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_image_goes_on_where_it_was_cut_and_lasts_until_its_case_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = vec![7; 5000];
    let image: Digest = Sha256::of(&bytes).0;
    let images = open(folder.path(), &[]);
    let mut upload = wanted(images.begin(image, 5000, None));
    assert_eq!(upload.take(0, &bytes[..3000]), Ok(false));
    assert!(matches!(
        images.begin(image, 5000, None),
        Err(CaseError::ImageBusy)
    ));
    assert_eq!(
        upload.take(2000, &bytes[2000..]),
        Err(CaseError::PieceOutOfPlace)
    );
    drop((upload, images));
    let images = open(folder.path(), &[]);
    let mut upload = wanted(images.begin(image, 5000, None));
    assert_eq!(upload.have(), 3000);
    assert!(!images.holds(&image));
    assert_eq!(upload.take(3000, &bytes[3000..]), Ok(true));
    drop(upload);
    assert_eq!(std::fs::read(images.path(&image)).unwrap(), bytes);
    assert!(matches!(
        images.begin(image, 5000, None),
        Ok(Begun::Stored(_))
    ));
    let path = images.path(&image);
    assert!(open(folder.path(), std::slice::from_ref(&path)).holds(&image));
    assert!(!open(folder.path(), &[]).holds(&image));
}

#[test]
fn a_damaged_image_is_forgotten_and_a_large_one_is_not_begun() {
    let folder = tempfile::tempdir().unwrap();
    let images = open(folder.path(), &[]);
    let image: Digest = Sha256::of(b"right").0;
    let mut upload = wanted(images.begin(image, 5, None));
    assert_eq!(upload.take(0, b"wrong"), Err(CaseError::ImageDamaged));
    drop(upload);
    let mut upload = wanted(images.begin(image, 5, None));
    assert_eq!(upload.have(), 0);
    assert_eq!(upload.take(0, b"right"), Ok(true));
    let begun = |size| images.begin([1; 32], size, None).map(|_| ());
    assert_eq!(begun(0), Err(CaseError::ImageEmpty));
    assert_eq!(begun(LARGEST + 1), Err(CaseError::ImageTooLarge));
}

#[test]
fn a_full_share_is_told_only_where_an_image_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let images = open(folder.path(), &[]);
    let giver = Giver::Dicom("XRAY".to_owned());
    lock(&images.shares).begin("coming".into(), Some(giver.clone()), shares::SHARE);
    let waits = Area::Images.named("waits");
    std::fs::write(images.storage.path_of(waits), b"an image").unwrap();
    assert_eq!(
        images.link(waits, Some(&giver)).err(),
        Some(CaseError::StoreFull)
    );
    assert!(!images.is_full(), "it waits where it is");
    assert_eq!(
        images.begin([1; 32], 9, Some(&giver)).err(),
        Some(CaseError::StoreFull)
    );
    assert!(images.is_full(), "its sender has to send it again");
}
