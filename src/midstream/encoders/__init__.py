"""Frozen unimodal encoders: raw media tensors in, features out. Know nothing of the LM.

Any Hugging Face model with hidden states serves (ViT, DINOv2, CLIP, SigLIP, AST, Whisper, wav2vec2, TimeSformer,
VideoMAE, RoBERTa over SMILES, PatchTST, ...), and so does a class of the user's own (`midstream.own.OwnEncoder`).
"""

from midstream.encoders.frozen import FrozenEncoder, load_encoder
from midstream.encoders.spec import FeatureSpec

__all__ = ["FeatureSpec", "FrozenEncoder", "load_encoder"]
