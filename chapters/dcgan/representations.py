# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# (ch-representations)=
# # What the discriminator knows
#
# A discriminator is trained for a task that nobody needs done: telling photographs from fakes. The
# second half of {cite:t}`radford2015dcgan` asks what it had to learn for that, and answers with a
# number. Freeze a discriminator that has only seen unlabelled images, take the activations of all
# its convolutions as features, and train nothing but a linear classifier on another data set.
#
# **What came out in this run.** On {result}`D-T1.probe_classes` kinds of image that pre-training
# never showed, a linear SVM on the features of a trained discriminator is right for
# {result}`D-T1.accuracy_narrow_trained:.1%`. The very same network *before* training gives
# {result}`D-T1.accuracy_narrow_random:.1%`, the raw pixels {result}`D-T1.accuracy_pixels:.1%`, and chance is
# {result}`D-T1.chance:.1%`: what adversarial training added is {result}`D-T1.gain_narrow:+.1f` percentage
# points. That net has a quarter of the paper's width, which a small machine can train for
# {result}`D-T1.updates_narrow:,d` updates. At the full width, with {result}`D-T1.features:,d` features, it
# affords {result}`D-T1.updates_paper_width:,d`, and they add {result}`D-T1.gain:+.1f`.
#
# **What the paper found.** Pre-trained on ImageNet-1k, tested on CIFAR-10, which it never saw:
# 82.8 %, above every pipeline built on K-means and below the Exemplar CNN. The paper gives no
# control: not the untrained network, not the pixels. Without them one cannot tell what was learned
# from what a stack of random filters with pooling has anyway, so the controls come first here.

# %% tags=["parameters"]
seed: int = 0
pretrain_data: str = "things"  # unlabelled images: things, tiny-imagenet32
pretrain_split: str = "pretrain"  # its part: pretrain of things, train of a pack
pretrain_images: int = 20000
probe_data: str = "things"  # labelled images of the probe: things, cifar10
probe_train_split: str = "probe-train"
probe_test_split: str = "probe-test"
probe_train: int = 1000
probe_valid: int = 300  # taken off the training part, to choose C
probe_test: int = 1000
paper_width: int = 128  # the paper's own: 28,672 features
paper_batch: int = 32  # the paper: 128
paper_updates: int = 20
narrow_width: int = 32
narrow_batch: int = 32
narrow_updates: int = 1500
labels_per_class: list = [5, 20, 80]  # the paper: 400
draws: int = 5  # of each number of labels

# %% tags=["hide-input"]
import numpy as np

from radford_lib import plots
from radford_lib.book import record
from radford_lib.data import load_images
from radford_lib.interpret.features import discriminator_features
from radford_lib.models.dcgan import make_discriminator
from radford_lib.probes.intervals import accuracy_interval
from radford_lib.probes.transfer import Part, band, label_efficiency, probe
from radford_lib.training.checkpoint import default_checkpoint_dir
from radford_lib.training.gan import GanConfig, gan_fingerprint, train_gan

plots.use_style()

# %% [markdown]
# ## Two sets of images
#
# One set to learn from without labels, another to be tested on. They must differ, or the claim is a
# weaker one. In the toy world `things` each image shows a shape with a texture; pre-training sees
# most pairs of the two and the probe asks for others, so every shape and every texture has been
# seen but none of the combinations to be told apart. Each of the probe's shapes comes with two of
# its textures, and each texture with two shapes, so that neither alone tells the kind.

# %%
unlabelled = load_images(
    pretrain_data, pretrain_split, n=pretrain_images, size=32, seed=seed
)
labelled = load_images(
    probe_data, probe_train_split, n=probe_train + probe_valid, size=32, seed=seed
)
held_out = load_images(
    probe_data, probe_test_split, n=probe_test, size=32, seed=seed
)

# %% mystnb={"figure": {"caption": "Above, what pre-training sees, without labels; below, what the probe must tell apart.", "name": "fig-two-sets"}, "image": {"alt": "Two rows of small images: unlabelled ones for pre-training above, labelled ones for the probe below."}} tags=["hide-input", "shows-data"]
plots.sample_rows(
    {"unlabelled": unlabelled.images[:10], "probe": labelled.images[:10]},
    columns=10,
)

# %% [markdown]
# ## The network, frozen
#
# The network is the one of the paper's Table 1: six 3x3 convolutions on 32x32 pixels, known from the
# released weights. That it is the right one can be counted: each layer's maps, max-pooled to 4x4,
# give $16\,(128 + 128 + 256 + 256 + 512 + 512) = 28\,672$ features, the number in the paper. Batch
# norm uses statistics averaged over the probe's training images, as the authors' SVHN script does, so
# that a feature does not depend on what else is in its batch.
#
# We train two discriminators by the authors' schedule, in which the two nets take turns: one of the
# paper's width, for as long as the profile allows, and one of a quarter of it, each image of which
# costs a sixteenth, for much longer.


# %%
def pretrained(width, batch, updates):
    """A discriminator trained on the unlabelled images, and the run it comes from."""
    config = GanConfig(
        shape="imagenet32",
        width=width,
        batch=batch,
        epochs=10_000,
        max_updates=updates,
        snapshot_epochs=(),
        on_collapse="record",
        seed=seed,
    )
    folder = default_checkpoint_dir(
        "representations", gan_fingerprint(config, unlabelled)
    )
    return train_gan(config, unlabelled, checkpoint_dir=folder)


runs = {
    "paper's width": pretrained(paper_width, paper_batch, paper_updates),
    "narrow": pretrained(narrow_width, narrow_batch, narrow_updates),
}

# %% [markdown]
# ## The probe, with its controls
#
# For each set of features one linear SVM, squared hinge with an L2 penalty, one class against the
# rest. Its C is chosen on a validation part; the test part is used once.


# %%
def parts(features_of):
    """Features of the probe's training, validation and test images."""
    fit, check = slice(0, probe_train), slice(probe_train, None)
    return (
        Part(features_of(labelled.images[fit]), labelled.labels[fit]),
        Part(features_of(labelled.images[check]), labelled.labels[check]),
        Part(features_of(held_out.images), held_out.labels),
    )


def read_by(discriminator):
    """Features as this discriminator computes them."""
    mates = labelled.images[: min(probe_train, 1280)]
    return parts(
        lambda images: discriminator_features(
            discriminator, images, calibrate_on=mates
        )
    )


features = {
    "pixels": parts(
        lambda images: images.reshape(len(images), -1).astype(np.float32) / 255
    )
}
for name, run in runs.items():
    features[f"{name}, trained"] = read_by(run.discriminator)
    untrained = make_discriminator("imagenet32", width=run.config.width, seed=seed)
    features[f"{name}, random"] = read_by(untrained)
scores = {name: probe(*three) for name, three in features.items()}

# %% tags=["remove-input", "remove-output"]
sets = [unlabelled, labelled, held_out]
keys = {
    "accuracy_trained": "paper's width, trained",
    "accuracy_random": "paper's width, random",
    "accuracy_narrow_trained": "narrow, trained",
    "accuracy_narrow_random": "narrow, random",
    "accuracy_pixels": "pixels",
}
accuracy = {name: score.test_accuracy for name, score in scores.items()}
for key, name in keys.items():
    ci = accuracy_interval(accuracy[name], len(held_out))
    record(
        "D-T1",
        key,
        accuracy[name],
        n=len(held_out),
        ci=ci,
        seed=seed,
        data=sets,
        unit="fraction",
    )
    record("D-T1", key.replace("accuracy", "c"), scores[name].c, data=sets)
record("D-T1", "chance", 1 / len(labelled.classes), data=sets, unit="fraction")
record("D-T1", "probe_classes", len(labelled.classes), data=sets)
record(
    "D-T1", "features", features["paper's width, trained"][0].x.shape[1], data=sets
)
record(
    "D-T1", "features_narrow", features["narrow, trained"][0].x.shape[1], data=sets
)
for key, name in {"paper_width": "paper's width", "narrow": "narrow"}.items():
    run = runs[name]
    record("D-T1", f"updates_{key}", run.updates, data=unlabelled)
    record("D-T1", f"images_seen_{key}", run.images_seen, data=unlabelled)
    record(
        "D-T1",
        f"images_per_second_{key}",
        run.images_seen / run.seconds,
        data=unlabelled,
    )
gains = {
    name: 100 * (accuracy[f"{name}, trained"] - accuracy[f"{name}, random"])
    for name in runs
}
record("D-T1", "gain", gains["paper's width"], data=sets, unit="percentage points")
record("D-T1", "gain_narrow", gains["narrow"], data=sets, unit="percentage points")

# %% mystnb={"figure": {"caption": "Training adds {result}`D-T1.gain_narrow:+.1f` points to the narrow net and {result}`D-T1.gain:+.1f` to the wide one: test accuracy of a linear SVM on each set of features, with 95 % intervals; the dashed line is chance.", "name": "fig-transfer"}, "image": {"alt": "Bars of test accuracy for raw pixels and for trained and random discriminators of two widths, with chance as a dashed line.", "classes": "dark-light"}} tags=["hide-input"]
plots.accuracy_bars(
    {
        name: (value, (np.diff(accuracy_interval(value, len(held_out))) / 2).item())
        for name, value in accuracy.items()
    },
    {"chance": 1 / len(labelled.classes)},
)

# %% [markdown]
# The same protocol with the numbers of the paper beside it. The paper's column is CIFAR-10 after
# ImageNet; ours say which data they are.
#
# ```{result-table} Linear SVM on frozen discriminator features, test accuracy. The paper reports only the first row.
# :name: tab-transfer
# :profiles: current cpu h200
# D-T1.accuracy_trained | Discriminator of the paper's width, trained | .1%
# D-T1.accuracy_random | the same, untrained | .1%
# D-T1.accuracy_narrow_trained | A quarter of the width, trained | .1%
# D-T1.accuracy_narrow_random | the same, untrained | .1%
# D-T1.accuracy_pixels | Raw pixels | .1%
# D-T1.images_seen_paper_width | Images seen in training, paper's width | ,d
# D-T1.images_seen_narrow | Images seen in training, narrow | ,d
# ```
#
# ```{recorded-figure} cpu/dcgan/representations/fig-transfer
# :name: fig-transfer-cpu
# :alt: Bars of test accuracy on CIFAR-10 for raw pixels and for trained and random discriminators of two widths.
# On real photographs, pre-trained on Tiny ImageNet at 32 pixels and probed on CIFAR-10, training adds {result}`cpu/D-T1.gain_narrow:+.1f` points to the narrow net and {result}`cpu/D-T1.gain:+.1f` to the wide one, which was hardly trained.
# ```
#
# ## With few labels
#
# The promise of unlabelled data is that labels are needed less. The paper repeats its experiment with
# 400 labels a class (73.8 % against 82.8 % with all); here the number of labels runs over a few
# values, each with several random draws.

# %%
few = {
    name: label_efficiency(
        *features[name], per_class=labels_per_class, draws=draws, seed=seed
    )
    for name in ("pixels", "narrow, random", "narrow, trained")
}

# %% tags=["remove-input", "remove-output"]
short = {
    "pixels": "pixels",
    "narrow, random": "random",
    "narrow, trained": "trained",
}
for name, by_count in few.items():
    for count, values in by_count.items():
        record(
            "D-X3",
            f"narrow_{short[name]}_{count}_labels",
            values.mean(),
            n=len(held_out),
            spread=values.std(ddof=1) if draws > 1 else 0.0,
            seed=seed,
            data=sets,
            unit="fraction",
        )

# %% mystnb={"figure": {"caption": "With few labels the features decide: accuracy by the number of labels of each class (mean and range over draws), narrow net. A representation is worth having where its curve lies above the others on the left.", "name": "fig-few-labels"}, "image": {"alt": "Accuracy against labels per class on a logarithmic axis, one band for pixels, one for random and one for trained features.", "classes": "dark-light"}} tags=["hide-input"]
plots.label_efficiency(
    labels_per_class, {name: band(by_count) for name, by_count in few.items()}
)

# %% [markdown]
# ## What this run can and cannot say
#
# - The pipeline is the paper's: the architecture that its feature count fixes, all convolutions at
#   4x4, a linear L2-SVM, no tuning on the test part.
# - The discriminators are not: they saw {result}`D-T1.images_seen_paper_width:,d` and
#   {result}`D-T1.images_seen_narrow:,d` images, where the paper's saw ImageNet for many epochs. A
#   comparison with 82.8 % would be one of budgets, not of methods.
# - The control that decides is the random network. A stack of random convolutions, rectified and
#   pooled, is a fair feature extractor, so only the distance to it is owed to the
#   adversarial game.
#
# **Try this.** `radford run dcgan/representations -p narrow_updates 6000` trains the narrow net four
# times longer: does its distance to the random net grow? `-p narrow_width 16` and `64` show what
# width alone is worth. `-p pretrain_split probe-train` breaks the rule that pre-training must not
# see the probe's kinds: does it help?
#
# ```{exercise}
# :label: ex-count-features
# The SVHN discriminator of the official code has three convolutions of 64, 128 and 256 maps. How many
# features does it give after max-pooling to 4x4?
# ```
#
# ```{solution} ex-count-features
# :class: dropdown
# $16\,(64 + 128 + 256) = 7168$.
# ```
