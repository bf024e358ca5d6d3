"""The exams of the bundles: their classes in the order of the logits, and what a
manifest says of them."""

from __future__ import annotations

EXAMS: dict[str, list[str]] = {
    "covid3": ["covid", "normal", "viral_pneumonia"],
    "lung_tb2": ["normal", "tuberculosis"],
    "brain4": ["glioma", "meningioma", "notumor", "pituitary"],
    "breast3": ["benign", "malignant", "normal"],
}
"""The classes of each exam, in the order of the logits."""

TITLES = {
    "covid3": "COVID-19, viral pneumonia or neither on a chest radiograph",
    "lung_tb2": "Signs of tuberculosis on a chest radiograph",
    "brain4": "Kind of brain tumour on a T1 contrast MRI slice",
    "breast3": "Lesion on a breast ultrasound image",
}
SHORT_TITLES = {
    "covid3": "Chest X-ray: COVID",
    "lung_tb2": "Chest X-ray: TB",
    "brain4": "Brain MRI: tumour",
    "breast3": "Breast ultrasound",
}
"""What a small display calls them."""
SOURCES = {
    "covid3": (["CR", "DX"], ["CHEST"]),
    "lung_tb2": (["CR", "DX"], ["CHEST"]),
    "brain4": (["MR"], ["BRAIN", "HEAD"]),
    "breast3": (["US"], ["BREAST"]),
}
"""Modalities and body parts."""
OLDEST = 120
"""The highest age that is believed: `Age::HIGHEST` in `src/patient.rs`."""
AGES = {"lung_tb2": (15, OLDEST)}
"""Whole years, both ends inside. WHO recommends computer-aided detection of tuberculosis on
chest films for people aged 15 years and older: WHO consolidated guidelines on tuberculosis,
module 2: screening (Geneva 2021), recommendation 10; it names no such use for children."""
CLASSES = {
    "covid": ("COVID-19", "urgent"),
    "viral_pneumonia": ("Viral pneumonia", "priority"),
    "tuberculosis": ("Tuberculosis", "urgent"),
    "glioma": ("Glioma", "urgent"),
    "meningioma": ("Meningioma", "priority"),
    "pituitary": ("Pituitary tumour", "priority"),
    "notumor": ("No tumour", "routine"),
    "benign": ("Benign lesion", "priority"),
    "malignant": ("Malignant lesion", "urgent"),
    "normal": ("Normal", "routine"),
}
"""Label and triage level."""
