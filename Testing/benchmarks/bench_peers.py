"""Time and memory of segmenting a file with one network, here and with other libraries, each as its users run it.

    python -m venv peers && peers/bin/pip install -c constraints.txt -e . monai nnunetv2
    peers/bin/python Testing/benchmarks/bench_peers.py [--shape 512 512 120] [--repeats 3]

Every library runs in a process of its own; seconds are those of the work, from file to label file, without imports and
after a small warm-up volume. The bare network is the fastest of ``bench_segment.best_setting`` on the same slices in
memory. Weights are untrained: time does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench_segment import NATIVE_MM, SLICE_MM, WORKING_MM, best_setting, make_bundle, make_volume, run_bare

CLASSES = 4
Run = Callable[[Path, Path], object]


def bare(bundle: Path) -> Run:
    import torch

    from leuda_core.bundle.model import load_bundle

    network = load_bundle(bundle).predictor().to(memory_format=torch.channels_last)
    setting: list[tuple[bool, int]] = []

    def run(volume: Path, out: Path) -> float:
        rows, columns, slices = read_shape(volume)
        side = (round(rows * NATIVE_MM / WORKING_MM), round(columns * NATIVE_MM / WORKING_MM))
        images = torch.randn(slices, 1, *side)
        setting[:] = setting or [best_setting(network, images)]
        start = time.perf_counter()
        run_bare(network, images, *setting[0])
        return time.perf_counter() - start

    return run


def leuda(bundle: Path) -> Run:
    from leuda_core import segment
    from leuda_core.io.volumes import write_label_map

    return lambda volume, out: write_label_map(segment(volume, bundle, device="cpu").label_map, out)


def simpleitk(bundle: Path) -> Run:
    """A loop over slices: resample in plane, normalise, run, take the largest, resample back."""
    import SimpleITK as sitk
    import torch

    from leuda_core.bundle.model import load_bundle

    network = load_bundle(bundle).predictor().eval()

    def resampled(image: Any, spacing: tuple[float, ...], size: list[int], interpolator: int) -> Any:
        return sitk.Resample(
            image, size, sitk.Transform(), interpolator, image.GetOrigin(), spacing, image.GetDirection(), 0.0
        )

    def run(volume: Path, out: Path) -> None:
        image = sitk.ReadImage(str(volume), sitk.sitkFloat32)
        ratio = NATIVE_MM / WORKING_MM
        size = [round(image.GetSize()[0] * ratio), round(image.GetSize()[1] * ratio), image.GetSize()[2]]
        small = resampled(image, (WORKING_MM, WORKING_MM, SLICE_MM), size, sitk.sitkLinear)
        data = sitk.GetArrayFromImage(small)
        low, high = np.percentile(data, (0.5, 99.5))
        data = (np.clip((data - low) / (high - low), 0, 1) * 2 - 1).astype(np.float32)
        labels = np.zeros(data.shape, np.uint8)
        with torch.inference_mode():
            for index, one in enumerate(data):
                labels[index] = network(torch.from_numpy(one)[None, None]).argmax(1)[0].numpy()
        found = sitk.GetImageFromArray(labels)
        found.CopyInformation(small)
        back = resampled(found, image.GetSpacing(), list(image.GetSize()), sitk.sitkNearestNeighbor)
        sitk.WriteImage(back, str(out), useCompression=True)

    return run


def monai(bundle: Path) -> Run:
    """The transforms of MONAI's tutorials: Spacing, SliceInferer, Invert, AsDiscrete, SaveImage."""
    import torch
    from monai import transforms as t
    from monai.data import decollate_batch, list_data_collate
    from monai.inferers import SliceInferer

    from leuda_core.bundle.model import load_bundle

    network = load_bundle(bundle).predictor().eval()
    before = t.Compose(
        [
            t.LoadImaged("image"),
            t.EnsureChannelFirstd("image"),
            t.Spacingd("image", pixdim=(WORKING_MM, WORKING_MM, SLICE_MM), mode="bilinear"),
            t.ScaleIntensityRangePercentilesd("image", 0.5, 99.5, -1, 1, clip=True),
        ]
    )

    def run(volume: Path, out: Path) -> None:
        saved = t.SaveImage(output_dir=out.parent, output_postfix="monai", separate_folder=False, print_log=False)
        after = t.Compose([t.Invertd("pred", transform=before, orig_keys="image"), t.AsDiscreted("pred", argmax=True)])
        batch = list_data_collate([before({"image": str(volume)})])
        roi = [-(-n // 16) * 16 for n in batch["image"].shape[2:4]]
        with torch.inference_mode():
            batch["pred"] = SliceInferer(roi_size=roi, spatial_dim=2, sw_batch_size=4)(batch["image"], network)
        for one in decollate_batch(batch):
            saved(after(one)["pred"])

    return run


def nnunet(bundle: Path, *, mirroring: bool) -> Run:
    """nnU-Net's predictor with its own resampling and export and a plan for this network."""
    os.environ |= {name: tempfile.gettempdir() for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from leuda_core.bundle.model import load_bundle

    network = load_bundle(bundle).predictor().eval()
    function, order = "resample_data_or_seg_to_shape", {"order_z": 0, "force_separate_z": None}
    side = 256
    configuration = {
        "data_identifier": "nnUNetPlans_2d",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 12,
        "patch_size": [side, side],
        "median_image_size_in_voxels": [side, side],
        "spacing": [WORKING_MM, WORKING_MM],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        **{f"resampling_fn_{name}": function for name in ("data", "seg", "probabilities")},
        "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, **order},
        "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, **order},
        "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, **order},
        "batch_dice": True,
        "architecture": {"network_class_name": "", "arch_kwargs": {}, "_kw_requires_import": []},
    }
    plans = PlansManager(
        {
            "dataset_name": "Dataset001_bench",
            "plans_name": "nnUNetPlans",
            "image_reader_writer": "SimpleITKIO",
            "transpose_forward": [0, 1, 2],
            "transpose_backward": [0, 1, 2],
            "label_manager": "LabelManager",
            "foreground_intensity_properties_per_channel": {"0": {}},
            "configurations": {"2d": configuration},
        }
    )
    labels = {"background": 0, **{f"organ {index}": index for index in range(1, CLASSES)}}
    document = {"channel_names": {"0": "CT"}, "labels": labels, "file_ending": ".nii.gz", "numTraining": 1}
    predictor = nnUNetPredictor(use_mirroring=mirroring, device=torch.device("cpu"), allow_tqdm=False)
    predictor.manual_initialization(
        network, plans, plans.get_configuration("2d"), [network.state_dict()], document, "nnUNetTrainer", (0, 1)
    )

    def run(volume: Path, out: Path) -> None:
        target = str(out).removesuffix(".nii.gz")
        # In this process: the workers of predict_from_files would import everything again for a single volume.
        predictor.predict_from_files_sequential([[str(volume)]], [target])

    return run


PEERS: dict[str, Callable[[Path], Run]] = {
    "bare network, best setting": bare,
    "LE-UDA": leuda,
    "SimpleITK and torch, slice by slice": simpleitk,
    "MONAI": monai,
    "nnU-Net v2, no mirroring": lambda bundle: nnunet(bundle, mirroring=False),
    "nnU-Net v2, mirroring": lambda bundle: nnunet(bundle, mirroring=True),
}


def read_shape(volume: Path) -> tuple[int, int, int]:
    import nibabel

    rows, columns, slices = nibabel.load(volume).shape
    return rows, columns, slices


def run_one(name: str, folder: Path, repeats: int) -> None:
    """Print the seconds of each repeat and the peak memory of this process."""
    run = PEERS[name](folder / "bundle")
    run(folder / "small.nii.gz", folder / "out.nii.gz")
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        own = run(folder / "volume.nii.gz", folder / "out.nii.gz")
        found.append(own if isinstance(own, float) else time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(json.dumps({"seconds": found, "peak_mib": max(peak, children)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 120))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=PEERS, nargs="+", default=list(PEERS))
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        return run_one(given.run[0], Path(given.run[1]), given.repeats)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_bundle(folder / "bundle")
        make_volume(tuple(given.shape), folder / "volume.nii.gz")
        make_volume((64, 64, 4), folder / "small.nii.gz")
        floor = 0.0
        print(f"{' x '.join(map(str, given.shape))} voxels\n")
        print("| file to label file | seconds | of the bare network | peak MiB |\n|---|---|---|---|")
        for name in given.only:
            command = [sys.executable, __file__, "--run", name, temporary, "--repeats", str(given.repeats)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                print(f"| {name} | {done.stderr.strip().splitlines()[-1]} | | |", flush=True)
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            seconds = statistics.median(found["seconds"])
            floor = floor or seconds
            print(f"| {name} | {seconds:.2f} | {seconds / floor:.2f} | {found['peak_mib']:,} |", flush=True)


if __name__ == "__main__":
    main()
