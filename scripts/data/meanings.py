"""What a manifest's row means: source, kind of image, and its answers to the exams.

A source is the collection that the pictures come from and not the repository that copied
them: what two repositories took from one collection is one source. A film may answer two
exams. An answer is the set of classes that are possible, so an outlined lesion of unknown
class says as much as it does.

`covid3` is of adults here: COVID-19, another pneumonia, or neither. Children's films are a
kind of their own.
"""

from __future__ import annotations

import re

from .manifest import Image

EXAMS: dict[str, tuple[str, ...]] = {
    "covid3": ("covid", "neither", "other_pneumonia"),
    "lung_tb2": ("normal", "tuberculosis"),
    "brain4": ("glioma", "meningioma", "notumor", "pituitary"),
    "breast3": ("benign", "malignant", "normal"),
}
"""The classes of each exam, in the order of the logits."""
KIND_OF_EXAM = {"covid3": "chest", "lung_tb2": "chest", "brain4": "brain", "breast3": "breast"}

Answers = dict[str, tuple[str, ...]]

SOURCES = {
    "AhmedHamada0/COVID-19-Chest-X-Ray-Dataset-image": "kermany",
    "skytells-research/COVID-19-XRay-Dataset": "kermany",
    "agchung/Figure1-COVID-chestxray-dataset": "figure1",
    "armiro/COVID-CXNet": "cxnet",
    "ml-workgroup/covid-19-image-repository": "hannover",
    "s-mostafa-a/covid-chestxray-dataset": "cohen",
    "mrdchry/NIH-CHEST-XRAY": "nih",
    "rsummers11/CADLab": "nih",
    "KamathAditi/tuberculosis-detection": "qatar",
    "ssheikhorg/tuberculosis-detection": "ssheikhorg",
    "turjo410/TBX11K-Assignment-1": "tbx11k",
    "KomalChaudhari8/BRAIN_TUMOR_APP": "nickparvar",
    "justin-marian/mri-classifier": "sartaj",
    "Mmaslach96/Brain-Cancer-Detector": "navoneel",
    "MohamedAliHabib/Brain-Tumor-Detection": "navoneel",
    "sarah-antillia/EfficientDet-MRI-Brain-Tumor": "tcga_lgg",
    "sarah-antillia/Tensorflow-Image-Segmentation-Brain-Tumor": "tcga_lgg",
    "atlan-antillia/Tensorflow-Image-Segmentation-BraTS21-Brain-Tumor": "brats",
    "sarah-antillia/TensorFlow-FlexUNet-Image-Segmentation-Multiclass-BraTS2023-Subset": "brats",
    "sarah-antillia/TensorFlow-FlexUNet-Image-Segmentation-Mendeley-Glioblastoma-Multiforme-MRI": (
        "mendeley"
    ),
    "sarah-antillia/TensorFlow-FlexUNet-Image-Segmentation-UTSW-Glioma-T2W-Subset": "utsw",
    "atlan-antillia/Tensorflow-Image-Segmentation-Hippocampus": "hfh",
    "sarah-antillia/TensorFlow-FlexUNet-Image-Segmentation-Full-Head-T1W": "full_head",
    "sarah-antillia/TensorFlow-FlexUNet-Image-Segmentation-Pardoe-Hippocampus-Amygdala": "pardoe",
    "sarah-antillia/TensorFlow-FlexUNet-Image-Segmentation-SEREBRUM-7T": "serebrum",
    "sarah-antillia/Tensorflow-FlexUNet-Image-Segmentation-Brain-MRI-PD25": "pd25",
    "sarah-antillia/Tensorflow-Image-Segmentation-Multiple-Sclerosis-Brain-MRI-T1": "ms_t1",
    "TongxinWang0405/BMI702_project": "busi",
    "sarah-antillia/Tensorflow-Image-Segmentation-Pre-Augmented-Breast-Cancer": "busi",
    "sarah-antillia/Tensorflow-Image-Segmentation-Augmented-Breast-Cancer": "bus_bra",
    "sarah-antillia/TensorFlow-FlexUNet-Image-Segmentation-BUSCot-Breast-Cancer": "buscot",
    "xbhlk/STU-Hospital": "stu",
}
"""Where the repository alone decides; what is not here is named by its kind."""

FIGSHARE_MASKS = re.compile(r"Segmentation-(Brain-Tumor-|Crystal-Clean-Brain-Tumor)")
"""Slices of the figshare patients with masks: `nickparvar` holds most of them."""

TUMOURS = ("glioma", "meningioma", "pituitary")
CHILDREN = {"cxr_paediatric"}


def source_of(image: Image) -> str:
    """The collection that the picture comes from."""
    if image.repository == "rochadiego/MultiResUNet-lung-segmentation":
        return "montgomery" if "MCUCXR" in image.path else "shenzhen"
    if image.repository == "Dilara-Benli/covid19_image_classification":
        return "cohen" if image.label == "covid" else "kermany"
    if image.repository == "muhammedtalo/COVID-19":
        return "cohen" if image.label == "covid19" else "nih"
    if FIGSHARE_MASKS.search(image.repository):
        return "nickparvar"
    named = SOURCES.get(image.repository)
    return named if named is not None and image.task != "ook" else f"kind_{kind_of(image)}"


def kind_of(image: Image) -> str:
    """What is to be seen: `chest` (an adult's, from the front), `brain`, `breast`, or one
    of the other kinds."""
    if image.task == "ook":
        return image.label
    if image.label in CHILDREN or (image.task == "covid3" and source_of(image) == "kermany"):
        return "chest_child"
    if image.label == "cxr_nih_any_rotation":
        return "chest_turned"
    if image.task == "pretrain":
        return {"us_cardiac": "cardiac_us", "us_fetal": "fetal_us", "us_pelvic": "pelvic_us"}.get(
            image.label, "chest"
        )
    return KIND_OF_EXAM.get(image.task, "chest")


def answers_of(image: Image) -> Answers:
    """What the row says to each exam: the classes that are possible."""
    kind = kind_of(image)
    if kind == "chest":
        return CHEST.get((image.task, image.label), {})
    if kind == "brain":
        if image.label == "tumor":
            return {"brain4": TUMOURS}
        return {"brain4": (image.label,)} if image.label in EXAMS["brain4"] else {}
    if kind == "breast":
        if image.label == "lesion_unlabelled":
            return {"breast3": ("benign", "malignant")}
        return {"breast3": (image.label,)}
    return {}


NORMAL_FILM: Answers = {"covid3": ("neither",), "lung_tb2": ("normal",)}
CHEST: dict[tuple[str, str], Answers] = {
    ("covid3", "covid"): {"covid3": ("covid",)},
    ("cxr_extra", "covid19"): {"covid3": ("covid",)},
    ("covid3", "other_pneumonia"): {"covid3": ("other_pneumonia",)},
    ("cxr_extra", "pneumonia"): {"covid3": ("other_pneumonia",)},
    ("cxr_extra", "no_findings"): NORMAL_FILM,
    ("covid3", "normal"): NORMAL_FILM,
    ("lung_tb2", "normal"): NORMAL_FILM,
    # Films of tuberculosis are of before 2020, or of hospitals that looked for nothing else.
    ("lung_tb2", "tuberculosis"): {
        "covid3": ("neither", "other_pneumonia"),
        "lung_tb2": ("tuberculosis",),
    },
}
"""The answers of an adult's chest film by task and label of its manifest."""
