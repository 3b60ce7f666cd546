"""Patches of real and synthetic subjects from a queue of TorchIO 1.

python examples/torchio_queue.py
python examples/torchio_queue.py --data nnUNet_raw/Dataset501_Malf --cache CACHE --steps 500
"""

from __future__ import annotations

import torch
import torchio as tio
from monai.losses import DiceCELoss
from monai.networks.nets import UNet

from synthaug import SynthAugment
from synthaug.demo.example_cases import example_cases, example_parser

PATCHES_OF_A_SUBJECT = 4


def main() -> None:
    """Mix subjects, cut patches, train."""
    arguments = example_parser(__doc__, steps=20).parse_args()
    torch.manual_seed(0)
    with example_cases(arguments) as cases:
        subjects = [
            tio.Subject(t1=tio.ScalarImage(one["image"]), seg=tio.LabelMap(one["label"])) for one in cases.training
        ]
        transform = tio.Compose([
            tio.ToCanonical(),
            tio.Resample(3.0),
            tio.ZNormalization(masking_method=tio.ZNormalization.mean),
            tio.RandomFlip(axes=("LR",)),
            tio.RandomBiasField(p=0.3),
        ])  # fmt: skip
        mixed = SynthAugment(
            tio.SubjectsDataset(subjects, transform=transform),
            cases.cache,
            ratio=0.5,
            keys=("t1", "seg"),
            transform="dataset",
            mapping=cases.mapping,
            count_epochs=True,  # the queue begins an epoch when it has handed out all patches of the last one
        )
        queue = tio.Queue(
            mixed,
            max_length=8 * PATCHES_OF_A_SUBJECT,
            samples_per_volume=PATCHES_OF_A_SUBJECT,
            sampler=tio.data.LabelSampler(32, label_name="seg"),
            num_workers=0,
        )
        network = UNet(3, 1, cases.scheme.num_classes, channels=(16, 32, 64), strides=(2, 2), num_res_units=1)
        loss_function = DiceCELoss(to_onehot_y=True, softmax=True)
        optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
        done = 0
        while done < arguments.steps:
            for batch in tio.SubjectsLoader(queue, batch_size=4):
                optimiser.zero_grad()
                loss = loss_function(network(batch["t1"][tio.DATA]), batch["seg"][tio.DATA])
                loss.backward()
                optimiser.step()
                done += 1
                if done % 5 == 0 or done == arguments.steps:
                    made = int(torch.as_tensor(batch["synthaug"]["synthetic"]).sum())
                    print(
                        f"step {done}/{arguments.steps}  loss {loss.item():.3f}  synthetic patches: {made}", flush=True
                    )
                if done == arguments.steps:
                    break


if __name__ == "__main__":
    main()
