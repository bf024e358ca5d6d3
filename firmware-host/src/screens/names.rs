//! What people call the exams and classes of medfocus's own bundles, in every language of
//! [`super::words`]. Other bundles bring their own labels.

use super::Language;

/// An exam that medfocus's own bundles know, by its name in the manifest: what the image is,
/// and what is looked for where that is not plain.
pub fn exam(name: &str, language: Language) -> Option<&'static str> {
    Some(language.of(match name {
        "covid3" => [
            "Chest X-ray: COVID",
            "Radio du thorax : COVID",
            "Rx de tórax: COVID",
            "X-ray ya kifua: UVIKO",
            "छाती: कोविड",
        ],
        "lung_tb2" => [
            "Chest X-ray: TB",
            "Radio du thorax : TB",
            "Rx de tórax: TB",
            "X-ray ya kifua: TB",
            "छाती: टीबी",
        ],
        "brain4" => [
            "Brain MRI: tumour",
            "IRM cérébrale : tumeur",
            "RM cerebral: tumor",
            "MRI ya ubongo: uvimbe",
            "मस्तिष्क MRI",
        ],
        "breast3" => [
            "Breast ultrasound",
            "Échographie du sein",
            "Ecografía de mama",
            "Ultrasound ya titi",
            "स्तन USG",
        ],
        _ => return None,
    }))
}

/// A class that medfocus's own bundles know, by its name in the manifest.
pub fn class(name: &str, language: Language) -> Option<&'static str> {
    Some(language.of(match name {
        "covid" => ["COVID-19", "COVID-19", "COVID-19", "UVIKO-19", "कोविड-19"],
        "normal" => ["Normal", "Normal", "Normal", "Kawaida", "सामान्य"],
        "viral_pneumonia" => [
            "Viral pneumonia",
            "Pneumonie virale",
            "Neumonía viral",
            "Nimonia ya virusi",
            "वायरल निमोनिया",
        ],
        "tuberculosis" => [
            "Tuberculosis",
            "Tuberculose",
            "Tuberculosis",
            "Kifua kikuu",
            "तपेदिक",
        ],
        "glioma" => ["Glioma", "Gliome", "Glioma", "Glioma", "ग्लियोमा"],
        "meningioma" => [
            "Meningioma",
            "Méningiome",
            "Meningioma",
            "Meninjioma",
            "मेनिन्जियोमा",
        ],
        "notumor" => [
            "No tumour",
            "Pas de tumeur",
            "Sin tumor",
            "Hakuna uvimbe",
            "ट्यूमर नहीं",
        ],
        "pituitary" => [
            "Pituitary tumour",
            "Tumeur hypophysaire",
            "Tumor hipofisario",
            "Uvimbe wa pituitari",
            "पिट्यूटरी ट्यूमर",
        ],
        "benign" => [
            "Benign lesion",
            "Lésion bénigne",
            "Lesión benigna",
            "Uvimbe usio hatari",
            "सौम्य घाव",
        ],
        "malignant" => [
            "Malignant lesion",
            "Lésion maligne",
            "Lesión maligna",
            "Uvimbe hatari",
            "घातक घाव",
        ],
        _ => return None,
    }))
}
