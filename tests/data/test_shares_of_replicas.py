"""Batches under a strategy: none lost, none counted twice, and nothing that TensorFlow has to say of it."""

import os
import re
import subprocess
import sys

import tiny

# prints, for files and arrays, how many examples each replica gets in every batch and the sum of the weights
SCRIPT = """
import sys, tempfile, warnings
from pathlib import Path
import numpy as np, tensorflow as tf, mtl_keras as mtl

cpu, = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())
labels = {"a": np.arange(50) % 2, "b": np.where(np.arange(50) % 5 == 0, np.nan, 1.0 * np.arange(50))}
numbers = np.arange(50, dtype="float32")[:, None]
arrays = mtl.data.from_arrays(numbers, labels, splits=mtl.data.Splits(0.2, 0), input_name="x")
folder = Path(tempfile.mkdtemp(), "records")
mtl.data.write_tfrecord(arrays, folder, shards=2)
records = mtl.data.from_tfrecord(folder)
print("the log begins", file=sys.stderr, flush=True)
warnings.simplefilter("error")
warnings.filterwarnings("ignore", ".*___pyct_anno", DeprecationWarning)  # AutoGraph's own, as in pyproject.toml
for source in (arrays, records):
    for training in (True, False):
        batches = source.batches(12, training=training, split="train", strategy=strategy)
        assert batches.options().experimental_distribute.auto_shard_policy == tf.data.experimental.AutoShardPolicy.DATA
        shares, seen, weight = [], [], 0.0
        for x, _, w in strategy.experimental_distribute_dataset(batches):
            shares.append([len(part) for part in strategy.experimental_local_results(x)])
            for part, counts in zip(*map(strategy.experimental_local_results, (x, w["a"])), strict=True):
                seen.extend(part.numpy()[counts.numpy() == 1, 0].astype(int).tolist())
            weight += sum(float(tf.reduce_sum(part)) for part in strategy.experimental_local_results(w["b"]))
        print(training, shares, len(seen), len(set(seen)), weight == sum(n % 5 != 0 for n in seen))
"""

# what it says whenever a dataset is handed to several devices, and when its iterators end
OF_ANY_DATASET = ("Input of GeneratorDatasetOp::Dataset will not be optimized", "Local rendezvous is aborting")


def test_shares_are_even_counts_exact_and_the_log_silent():
    environment = {**os.environ, "PYTHONPATH": str(tiny.ROOT), "TF_CPP_MIN_LOG_LEVEL": "0"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    # 40 examples in batches of 12: training drops the last four, evaluation pads them with eight of weight 0
    kept = ["True [[6, 6], [6, 6], [6, 6]] 36 36 True", "False [[6, 6], [6, 6], [6, 6], [6, 6]] 40 40 True"]
    assert done.stdout.splitlines() == kept * 2
    _, _, log = done.stderr.partition("the log begins\n")
    # TensorFlow's own lines begin with a letter for how bad it is, Python's say so
    said = re.findall(r"^[WEF]\d{4} .*|.*(?:WARNING|Warning|ERROR).*", log, re.MULTILINE)
    assert not [line for line in said if not any(usual in line for usual in OF_ANY_DATASET)]
