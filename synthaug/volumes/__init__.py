"""Labelled volumes, and the files that hold them."""

from synthaug.volumes.case_record import CaseRecord, case_identifier
from synthaug.volumes.fingerprint import fingerprint_array, fingerprint_label
from synthaug.volumes.labeled_volume import LabeledVolume
from synthaug.volumes.nifti_reading import MAX_VOXELS, read_image, read_label, read_pair
from synthaug.volumes.nifti_writing import write_image, write_label
from synthaug.volumes.structure_volumes import structure_volumes_ml

__all__ = [
    "MAX_VOXELS",
    "CaseRecord",
    "LabeledVolume",
    "case_identifier",
    "fingerprint_array",
    "fingerprint_label",
    "read_image",
    "read_label",
    "read_pair",
    "structure_volumes_ml",
    "write_image",
    "write_label",
]
