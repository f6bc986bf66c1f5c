"""What a ledger finds: the costs of one layer, and of a whole LM with its connectors. Holds numbers, counts nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer: FLOPs and bytes of the whole batch.

    Args:
        rows: tokens of one row of the batch that pass the whole layer.
        readable: tokens of it that give keys and values only.
        prefill: FLOPs of a forward pass over the prompt, which is also a training step's.
        decode: FLOPs of one new token, right after the prompt.
        activation_gradients: FLOPs of a training step's gradients of inputs, attention included.
        weight_gradients: FLOPs of its gradients of weights.
        kv_bytes: of the cache after the prompt.
        saved_bytes: kept for backward in a training step (an estimate).
    """

    rows: int
    readable: int
    prefill: int
    decode: int
    activation_gradients: int
    weight_gradients: int
    kv_bytes: int
    saved_bytes: int


@dataclass(frozen=True, slots=True)
class Cost:
    """All layers and what stands around them. FLOPs and bytes of the whole batch; `prefill` gives one row of logits.

    Args:
        layers: in order.
        prefill_around: the stack's own projections and the head.
        decode_around: the same for one new token.
        forward_around: the same in a training step, with logits for every target.
        activation_gradients_around: their backward.
        weight_gradients_around: 0 for a frozen LM.
        connector: FLOPs forward.
        connector_backward: its gradients in a training step.
        encoder: FLOPs.
        saved_around: bytes of logits and their gradient.
        connector_parameters: trained.
        encoder_parameters: frozen.
        lm_parameters: the LM's.
        width_bytes: bytes of a number.
        frozen: whether the LM is.
    """

    layers: tuple[LayerCost, ...]
    prefill_around: int
    decode_around: int
    forward_around: int
    activation_gradients_around: int
    weight_gradients_around: int
    connector: int
    connector_backward: int
    encoder: int
    saved_around: int
    connector_parameters: int
    encoder_parameters: int
    lm_parameters: int
    width_bytes: int
    frozen: bool

    def _sum(self, name: str) -> int:
        return sum(getattr(layer, name) for layer in self.layers)

    @property
    def prefill(self) -> int:
        """FLOPs from tokens of text and features to the first logits: connector and LM, no encoder."""
        return self._sum("prefill") + self.prefill_around + self.connector

    @property
    def decode(self) -> int:
        """FLOPs of one further token."""
        return self._sum("decode") + self.decode_around

    @property
    def forward(self) -> int:
        """FLOPs of a training step's forward pass, no encoder."""
        return self._sum("prefill") + self.forward_around + self.connector

    @property
    def activation_gradients(self) -> int:
        """FLOPs of a training step's gradients of activations in the LM."""
        return self._sum("activation_gradients") + self.activation_gradients_around

    @property
    def weight_gradients(self) -> int:
        """FLOPs of a training step's gradients of the LM's weights."""
        return self._sum("weight_gradients") + self.weight_gradients_around

    @property
    def train(self) -> int:
        """FLOPs of a training step of LM and connector, no encoder."""
        return self.forward + self.activation_gradients + self.weight_gradients + self.connector_backward

    @property
    def kv_bytes(self) -> int:
        """Bytes of the cache after the prompt."""
        return self._sum("kv_bytes")

    @property
    def saved_bytes(self) -> int:
        """Bytes kept for backward in a training step (an estimate)."""
        return self._sum("saved_bytes") + self.saved_around

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all weights."""
        return self.width_bytes * (self.lm_parameters + self.encoder_parameters + self.connector_parameters)

    @property
    def optimiser_bytes(self) -> int:
        """Bytes of gradients and AdamW's two moments, for what is trained."""
        trained = self.connector_parameters + (0 if self.frozen else self.lm_parameters)
        return 3 * self.width_bytes * trained
