"""Updates of a byte language model as one CUDA graph: a window is read, and no Python runs.

Everything an update reads and writes stays at its address: bytes, learning rate, carried state,
parameters, Adam's moments, losses. From the third update on, forward pass, loss, backward pass,
clipping, Adam, weight norm and the low-precision copies of the weights are one launch, fed by
copying in the next bytes. Losses collect on the device until they are asked for.
The same update runs without a graph, on any device.
"""

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from radford_lib.kernels.cross_entropy import byte_cross_entropy
from radford_lib.models.language_model import ByteLanguageModel, State
from radford_lib.training.distributed import average_gradients, process_count

_EAGER_UPDATES = 2  # compile kernels and make Adam's moments before anything is recorded


class GraphedUpdates:
    """Adam on windows (T, B) of ``batch`` streams, with the model's state carried between them.

    ``dtype`` is that of products and activations; parameters, their gradients, cell state and loss
    are float32. ``clip``, if not 0, bounds the norm of the gradient. ``graph`` records updates as
    a CUDA graph. ``capacity`` losses are kept on the device before they have to be read.
    """

    def __init__(
        self,
        model: ByteLanguageModel,
        *,
        batch: int,
        window: int,
        clip: float,
        dtype: torch.dtype,
        capacity: int,
        graph: bool = True,
        backend: str = "auto",
    ) -> None:
        device = model.embedding.device
        self.model, self._clip, self._backend = model, clip or math.inf, backend
        self._parameters = list(model.parameters())
        self._lr = torch.zeros((), device=device)
        self.optimizer = torch.optim.Adam(
            self._parameters, lr=self._lr, fused=True, capturable=device.type == "cuda"
        )
        self._bytes = torch.zeros(2, window, batch, dtype=torch.int64, device=device)
        self._h, self._c = (s.clone() for s in model.initial_state(batch, dtype))
        self._losses = torch.zeros(capacity, device=device)
        self._slot = torch.zeros(1, dtype=torch.int64, device=device)
        self._norm = torch.zeros((), device=device)
        self._unread, self._read = 0, list[float]()
        self._graph, self._updates = graph, 0
        self._stream = torch.cuda.Stream(device) if graph else None
        self._recorded: list[torch.cuda.CUDAGraph] = []

    @property
    def state(self) -> State:
        """The carried h and c, each (B, H), as they are after the last update."""
        return self._h, self._c

    @state.setter
    def state(self, state: State) -> None:
        self._h.copy_(state[0])
        self._c.copy_(state[1])

    def start_shard(self) -> None:
        """Forget what was read: the state is zero again."""
        self._h.zero_()
        self._c.zero_()

    def update(self, inputs: Tensor, targets: Tensor, lr: float) -> None:
        """One step of Adam on inputs and targets (T, B) int64, on the CPU or the device."""
        for place, values in zip(self._bytes, (inputs, targets), strict=True):
            if place.is_cuda and not values.is_cuda:
                values = values.contiguous().pin_memory()
            place.copy_(values, non_blocking=True)
        self._lr.fill_(lr)
        if self._unread == len(self._losses):
            self._collect()
        if self._graph and self._updates >= _EAGER_UPDATES:
            if not self._recorded:
                self._record()
            self._replay()
        else:
            with self._side_stream():
                self._gradients()
                average_gradients(self._parameters)
                self._step()
        self._updates += 1
        self._unread += 1

    def read(self) -> tuple[list[float], float]:
        """Losses of the updates since the last call, nats per byte, and the last gradient's norm.

        Waits for the device.
        """
        self._collect()
        losses, self._read = self._read, []
        return losses, self._norm.item()

    def _collect(self) -> None:
        self._read += self._losses[: self._unread].tolist()
        self._unread = 0
        self._slot.zero_()

    def _gradients(self) -> None:
        inputs, targets = self._bytes
        model = self.model
        h, (h_last, c_last) = model.hidden_states(inputs, (self._h, self._c), backend=self._backend)
        loss = byte_cross_entropy(h, model.w_out, model.b_out, targets)
        gradients = torch.autograd.grad(loss, self._parameters)
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        with torch.no_grad():
            self._h.copy_(h_last)
            self._c.copy_(c_last)
            self._losses.index_copy_(0, self._slot, loss.detach()[None])
            self._slot += 1

    def _step(self) -> None:
        self._norm.copy_(torch.nn.utils.clip_grad_norm_(self._parameters, self._clip))
        self.optimizer.step()

    def _whole(self) -> None:
        self._gradients()
        self._step()

    def _record(self) -> None:
        """One graph; with other processes two, for what they share in between."""
        alone = process_count() == 1
        for parameter in self._parameters:
            parameter.grad = None
        pool = torch.cuda.graph_pool_handle()
        for part in [self._whole] if alone else [self._gradients, self._step]:
            graph = torch.cuda.CUDAGraph()
            # nccl's own thread looks at its events meanwhile, which "global" forbids
            mode = "global" if alone else "thread_local"
            with torch.cuda.graph(graph, pool, self._stream, capture_error_mode=mode):
                part()
            self._recorded.append(graph)

    def _replay(self) -> None:
        first, *rest = self._recorded
        first.replay()
        for graph in rest:
            average_gradients(self._parameters)
            graph.replay()

    @contextlib.contextmanager
    def _side_stream(self) -> Iterator[None]:
        """Where a graph will be recorded, so that what autograd remembers fits."""
        if self._stream is None:
            yield
            return
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            yield
        torch.cuda.current_stream().wait_stream(self._stream)
