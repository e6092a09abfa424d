"""What models read: toy worlds, packs of real data and their sources."""

from radford_lib.data.corpus import ByteCorpus, join_corpora
from radford_lib.data.image_set import ImageSet
from radford_lib.data.load import load_corpus, load_images, load_texts
from radford_lib.data.packs import official_weights_path
from radford_lib.data.texts import LabelledTexts

__all__ = [
    "ByteCorpus",
    "ImageSet",
    "LabelledTexts",
    "join_corpora",
    "load_corpus",
    "load_images",
    "load_texts",
    "official_weights_path",
]
