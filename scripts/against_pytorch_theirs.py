"""PyTorch's side of benchmark_against_pytorch.py: the same step, written in plain PyTorch.

A wide residual network in channels-last layout, FixMatch with class weights on both losses,
SGD with Nesterov momentum and L2 decay of kernels, an average of weights and batch statistics.
Speaks as against_pytorch_ours.py does; needs PyTorch and NumPy alone.
"""

import json
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional


class WideResNet(nn.Module):
    """The network of `drw_tf.models.wide_resnet`, with the names of its layers."""

    def __init__(self, depth, width, channels, classes, momentum, epsilon):
        super().__init__()
        self.constants = {"momentum": 1 - momentum, "eps": epsilon}
        self.blocks = []
        self.stem_conv = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        before = 16
        for group, filters in enumerate((16 * width, 32 * width, 64 * width)):
            for index in range((depth - 4) // 6):
                name = f"group{group + 1}_block{index + 1}"
                stride = 2 if group and not index else 1
                self._add_block(name, before, filters, stride)
                self.blocks.append((name, group == 0 and index == 0))
                before = filters
        self.final_bn = nn.BatchNorm2d(before, **self.constants)
        self.logits = nn.Linear(before, classes)

    def _add_block(self, name, before, filters, stride):
        def conv(ending, inputs, size, stride):
            layer = nn.Conv2d(inputs, filters, size, stride, padding=size // 2, bias=False)
            self.add_module(f"{name}_{ending}", layer)

        self.add_module(f"{name}_1_bn", nn.BatchNorm2d(before, **self.constants))
        conv("1_conv", before, 3, stride)
        self.add_module(f"{name}_2_bn", nn.BatchNorm2d(filters, **self.constants))
        conv("2_conv", filters, 3, 1)
        if stride > 1 or before != filters:
            conv("shortcut_conv", before, 1, stride)

    def _activate(self, name, x):
        return functional.leaky_relu(getattr(self, f"{name}_bn")(x), 0.1, inplace=True)

    def forward(self, x):
        x = self.stem_conv((x - 0.5) * 4.0)
        for name, activates_before in self.blocks:
            active = self._activate(f"{name}_1", x)
            shortcut = active if activates_before else x
            conv = getattr(self, f"{name}_shortcut_conv", None)
            shortcut = shortcut if conv is None else conv(shortcut)
            x = getattr(self, f"{name}_1_conv")(active)
            x = getattr(self, f"{name}_2_conv")(self._activate(f"{name}_2", x)) + shortcut
        return self.logits(self._activate("final", x).mean((2, 3)))


class Trainer:
    """One FixMatch step with class weights."""

    def __init__(self, settings, arrays, device):
        self.settings, self.device = settings, device
        self.network = self._network(arrays)
        self.averaged = self._network(arrays)
        self.forward = torch.compile(self.network) if settings["compiled"] else self.network
        named = list(self.network.named_parameters())
        kernels = [p for _, p in named if p.dim() > 1]
        others = [p for _, p in named if p.dim() == 1]
        self.optimizer = torch.optim.SGD(
            [{"params": kernels, "weight_decay": settings["decay"]}, {"params": others}],
            lr=settings["learning_rate"],
            momentum=0.9,
            nesterov=True,
            foreach=True,
        )
        self.labels = self._tensor(arrays["batch.labeled.label"]).long()
        self.views = {
            name: self._images(arrays[f"batch.{name}"])
            for name in ("labeled.weak", "unlabeled.weak", *settings["strong"])
        }
        self.labeled_weights = self._tensor(arrays["weights.labeled_weights"])
        self.unlabeled_weights = self._tensor(arrays["weights.unlabeled_weights"])
        self.counts = torch.zeros_like(self.unlabeled_weights)

    def _tensor(self, array):
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _images(self, array):
        images = self._tensor(array).permute(0, 3, 1, 2)
        return images.contiguous(memory_format=torch.channels_last)

    def _network(self, arrays):
        given = {
            name: torch.from_numpy(array)
            for name, array in arrays.items()
            if not name.startswith(("batch.", "weights."))
        }
        network = WideResNet(**self.settings["network"])
        missing, unknown = network.load_state_dict(given, strict=False)
        statistics = ("running_mean", "running_var", "num_batches_tracked")
        if unknown or not all(name.endswith(statistics) for name in missing):
            raise ValueError(f"the networks differ: {missing} {unknown}")
        return network.to(self.device, memory_format=torch.channels_last).train()

    def step(self):
        """Loss before the step."""
        views = {name: images.float() / 255.0 for name, images in self.views.items()}
        strong = [views[name] for name in self.settings["strong"]]
        labeled, weak = views["labeled.weak"], views["unlabeled.weak"]
        rows, count = len(labeled), len(weak)
        if self.settings["forward"] == "separate":
            with torch.no_grad():
                logits_weak = self.forward(weak)
            logits = self.forward(torch.cat([labeled, *strong]))
        else:
            both = self.forward(torch.cat([labeled, weak, *strong]))
            logits_weak = both[rows : rows + count].detach()
            logits = torch.cat([both[:rows], both[rows + count :]])
        confidence, guess = torch.softmax(logits_weak, 1).max(1)
        mask = (confidence >= self.settings["threshold"]).float()
        losses = [
            functional.cross_entropy(part, guess, reduction="none")
            for part in logits[rows:].split(count)
        ]
        each = torch.stack(losses).mean(0) * mask * self.unlabeled_weights[guess]
        of_labels = functional.cross_entropy(logits[:rows], self.labels, reduction="none")
        loss = (self.labeled_weights[self.labels] * of_labels).mean() + each.mean()
        self.counts.index_add_(0, guess, torch.ones_like(mask))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self._average()
        return loss.item()

    @torch.no_grad()
    def _average(self):
        pairs = zip(
            self.averaged.state_dict().values(), self.network.state_dict().values(), strict=True
        )
        floating = [(a, b) for a, b in pairs if a.is_floating_point()]
        torch._foreach_lerp_(*map(list, zip(*floating, strict=True)), 1 - self.settings["ema"])


def main():
    """Reads settings from the command line, then answers lines."""
    settings = json.loads(sys.argv[1])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with np.load(settings["exchange"]) as file:
        trainer = Trainer(settings, dict(file), device)
    parameters = sum(p.numel() for p in trainer.network.parameters())
    told = {"parameters": parameters, "loss": trainer.step(), "version": torch.__version__}
    print(json.dumps(told), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(settings["round_steps"]):
            trainer.step()
        print(json.dumps((time.perf_counter() - start) / settings["round_steps"]), flush=True)


if __name__ == "__main__":
    main()
