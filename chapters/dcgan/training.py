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
# (ch-training)=
# # One epoch, five epochs
#
# Can two convolutional networks, one that invents images and one that judges them, be trained
# against each other without falling apart? In 2015 the usual answer was no.
# {cite:t}`radford2015dcgan` found a family of architectures for which it was mostly yes, and showed
# what one of them draws after seeing three million bedrooms once, and five times.
#
# **What came out in this run.** After one epoch of {result}`D-F2.images:,d` images the distance of the
# samples to images never trained on, measured as KID in a fixed feature space, has gone from
# {result}`D-F2.kid_untrained:.2f` to {result}`D-F2.kid:.2f`; after the last epoch it is
# {result}`D-F3.kid:.2f`. Real training images are {result}`D-F3.kid_floor:.2f` away from the unseen
# ones, which is as low as a generator can hope to go. {result}`D-X11.closer_share:.1%` of the
# samples lie closer to their nearest training image than the median unseen image does to its own.
#
# **What the paper found.** Two pictures: after one pass over LSUN bedrooms, plausible rooms already,
# which it takes as a sign against memorisation, since a net that sees each image once can hardly
# learn it by heart; after five, better rooms with some repeated texture, read as under-fitting. No
# number comes with them. This chapter repeats both pictures and puts a number to each.

# %% tags=["parameters"]
seed: int = 0
data: str = "faces"  # faces, rooms, celeba, houses-bedroom, ...
images: int = 20000  # of the training part, at most
unseen: int = 1000  # of the test part, to measure against
shape: str = "svhn32"  # architecture: svhn32, imagenet32, lsun64
width: int = 32  # the paper's own: 64 for svhn32, 128 for the others
batch: int = 32  # the paper: 128; the released SVHN nets: 64
epochs: int = 5
steps: int = 0  # stop after so many updates; 0 for none
schedule: str = "alternate"  # the authors' code; or sequential, simultaneous
lr: float = 5e-4  # the released SVHN nets' own; the paper: 2e-4
beta1: float = 0.5
weight_decay: float = 1e-5
samples: int = 500  # drawn after each epoch, to be measured

# %% tags=["hide-input"]
import numpy as np

from radford_lib import plots
from radford_lib.book import record
from radford_lib.data import load_images
from radford_lib.models.dcgan import find_shape
from radford_lib.probes.kid import conv_features, kid
from radford_lib.probes.neighbours import nearest
from radford_lib.training.checkpoint import default_checkpoint_dir
from radford_lib.training.gan import GanConfig, gan_fingerprint, train_gan

plots.use_style()

# %% [markdown]
# ## What it learns from
#
# The default is a toy world, drawn by the library from a seed: portraits of which smile, glasses, sex,
# pose and light are known. It is no photograph and does not pretend to be. Its worth is that it is
# always there and that later chapters can check what the networks do against the truth. On a pack
# of real photographs the same chapter runs with `-p data celeba`.

# %%
size = find_shape(shape).size
real = load_images(data, "train", n=images, size=size, seed=seed)
held_out = load_images(data, "test", n=unseen, size=size, seed=seed)

# %% mystnb={"figure": {"caption": "What the nets see: images from the training set of this run.", "name": "fig-real"}, "image": {"alt": "Three rows of ten images from the training set."}} tags=["hide-input", "shows-data"]
plots.sample_grid(real.images[:30], columns=10)

# %% [markdown]
# ## Two networks
#
# The generator turns a vector of random numbers into an image, the discriminator an image into one
# number. What makes the pair trainable, says the paper, is a handful of choices: strides in place of
# pooling, batch norm everywhere but at the generator's output and the discriminator's input, no
# hidden fully connected layer, ReLU and tanh in one net and LeakyReLU in the other.
#
# The authors' code adds what the paper leaves out, and we follow it: the two nets **take turns over
# mini-batches**, so an epoch gives each of them half as many updates as most reimplementations; real
# and fake images have **their own batch statistics**; there is **no bias** in any layer; the first batch
# norm of the generator has one gain **for each unit**, not for each channel; and a little weight decay
# is hidden in Adam's gradient. The generator minimises
# $-\log D(G(z))$, not $\log(1 - D(G(z)))$.

# %%
config = GanConfig(
    shape=shape,
    width=width,
    batch=batch,
    epochs=epochs,
    max_updates=steps or None,
    schedule=schedule,
    lr=lr,
    beta1=beta1,
    weight_decay=weight_decay,
    snapshot_epochs=tuple(range(1, epochs + 1)),
    snapshot_samples=samples,
    on_collapse="record",
    seed=seed,
)
folder = default_checkpoint_dir("training", gan_fingerprint(config, real))
run = train_gan(config, real, checkpoint_dir=folder)

# %% mystnb={"figure": {"caption": "The discriminator's loss ends at {result}`D-F3.d_loss:.2f`, the generator's at {result}`D-F3.g_loss:.2f`; in an undecided game they are $2 \\ln 2$ and $\\ln 2$. Losses say who is ahead, not how good the samples are.", "name": "fig-losses"}, "image": {"alt": "Two curves against epochs: the discriminator's loss and the generator's loss.", "classes": "dark-light"}} tags=["hide-input"]
plots.loss_curves(
    [row["epoch"] for row in run.history],
    {
        "discriminator": [row["d_loss"] for row in run.history],
        "generator": [row["g_loss"] for row in run.history],
    },
    xlabel="epochs",
)

# %% [markdown]
# ## What it draws
#
# The same codes, sampled after one epoch and at the end: ten columns and five rows, as in the
# paper's Figures 2 and 3. Normalised by their own batch, as in training.

# %%
first, last = min(1, max(run.snapshots)), max(run.snapshots)

# %% mystnb={"figure": {"caption": "After one epoch, each image seen once: fifty samples, KID {result}`D-F2.kid:.2f` (the paper's Figure 2).", "name": "fig-one-epoch"}, "image": {"alt": "Five rows of ten generated images after one epoch."}} tags=["hide-input"]
plots.sample_grid(run.snapshots[first][:50], columns=10)

# %% mystnb={"figure": {"caption": "The same fifty codes after the last epoch, KID {result}`D-F3.kid:.2f` (the paper's Figure 3).", "name": "fig-five-epochs"}, "image": {"alt": "Five rows of ten generated images after the last epoch, from the same codes."}} tags=["hide-input"]
plots.sample_grid(run.snapshots[last][:50], columns=10)

# %% [markdown]
# ## Is it learning?
#
# The losses of a GAN do not answer that. A distance between distributions does. We use the **kernel
# inception distance** with one change: where KID reads images with a network trained on ImageNet,
# this book reads them with a fixed random convolutional network, because nothing may be downloaded
# and toy faces are not ImageNet. The numbers are therefore comparable within this page only. KID is
# unbiased, so two samples of the same distribution give zero on average, whatever their size; the
# floor drawn below is the distance of real training images to the unseen ones.

# %%
reference = conv_features(held_out.images, seed=0)
half = len(real.images) // 2
count = min(samples, half)
floor = kid(conv_features(real.images[:count], seed=0), reference, seed=seed)
curve = {
    epoch: kid(conv_features(drawn, seed=0), reference, seed=seed)
    for epoch, drawn in sorted(run.snapshots.items())
}

# %% mystnb={"figure": {"caption": "From noise towards images never trained on: KID goes from {result}`D-F2.kid_untrained:.2f` to {result}`D-F3.kid:.2f`, with standard errors; the floor is the same distance for real training images.", "name": "fig-learning"}, "image": {"alt": "KID against epochs, falling from the untrained generator towards a horizontal line that marks real images.", "classes": "dark-light"}} tags=["hide-input"]
plots.learning_curve(
    list(curve),
    {"samples": [value.mean for value in curve.values()]},
    spread={"samples": [value.error for value in curve.values()]},
    floor=("real images", floor.mean),
    xlabel="epochs",
    ylabel="KID (random features)",
)

# %% tags=["remove-input", "remove-output"]
sets = [real, held_out]
record("D-F2", "images", len(real), data=sets)
record(
    "D-F2",
    "kid_untrained",
    curve[0].mean,
    spread=curve[0].error,
    seed=seed,
    data=sets,
)
record(
    "D-F2",
    "kid",
    curve[first].mean,
    spread=curve[first].error,
    seed=seed,
    data=sets,
)
record(
    "D-F3", "kid", curve[last].mean, spread=curve[last].error, seed=seed, data=sets
)
record("D-F3", "kid_floor", floor.mean, spread=floor.error, seed=seed, data=sets)
record("D-F3", "epochs", run.updates * batch / len(real), data=sets)
record("D-F3", "updates", run.updates, data=sets)
record("D-F3", "d_loss", np.mean([row["d_loss"] for row in run.history[-20:]]))
record("D-F3", "g_loss", np.mean([row["g_loss"] for row in run.history[-20:]]))
record("D-F3", "images_per_second", run.images_seen / run.seconds, data=sets)
record("D-F3", "seconds", run.seconds, unit="s", data=sets)

# %% [markdown]
# ## Or is it remembering?
#
# The paper argues from the single epoch and declines to look for nearest neighbours, since a small
# shift fools them. That is true of one neighbour, less so of a whole distribution of distances: if
# samples were copies, they would lie closer to the training images than new real images do.

# %%
drawn = run.snapshots[last]
flat = {"samples": drawn, "unseen images": held_out.images[: len(drawn)]}
found = {
    name: nearest(
        array.reshape(len(array), -1).astype(np.float32) / 255,
        real.images.reshape(len(real), -1).astype(np.float32) / 255,
    )
    for name, array in flat.items()
}
distances = {name: distance for name, (_, distance) in found.items()}

# %% mystnb={"figure": {"caption": "Eight samples and, below each, the training image nearest to it in pixels, with the distance: a copy would stand above its original.", "name": "fig-neighbours"}, "image": {"alt": "Pairs of a generated image and the training image nearest to it."}} tags=["hide-input", "shows-data"]
shown = 8
plots.neighbour_panel(
    drawn[:shown],
    real.images[found["samples"][0][:shown]][:, None],
    distances["samples"][:shown, None],
)

# %% mystnb={"figure": {"caption": "A model that copies would push its samples to the left of unseen images: {result}`D-X11.closer_share:.1%` of them lie left of the unseen images' median distance.", "name": "fig-distances"}, "image": {"alt": "Two histograms of distances to the nearest training image, one for samples and one for unseen real images.", "classes": "dark-light"}} tags=["hide-input"]
plots.distance_histogram(distances)

# %% tags=["remove-input", "remove-output"]
middle = float(np.median(distances["unseen images"]))
record(
    "D-X11",
    "closer_share",
    (distances["samples"] < middle).mean(),
    n=len(drawn),
    seed=seed,
    data=sets,
    unit="fraction",
)
record(
    "D-X11", "median_distance_samples", np.median(distances["samples"]), data=sets
)
record("D-X11", "median_distance_unseen", middle, data=sets)

# %% [markdown]
# ## On photographs
#
# The same chapter, run on real faces (CelebA) at 64 pixels with the paper's first architecture at a
# quarter of its width, on two CPU cores: {result}`cpu/D-F3.seconds:,.0f` seconds of training.
#
# ```{recorded-figure} cpu/dcgan/training/fig-one-epoch
# :name: fig-one-epoch-cpu
# :alt: Five rows of ten generated faces after one epoch on real photographs.
# Real faces after one epoch, {result}`cpu/D-F2.images:,d` images seen once: no faces yet, KID {result}`cpu/D-F2.kid:.1f`.
# ```
#
# ```{recorded-figure} cpu/dcgan/training/fig-five-epochs
# :name: fig-five-epochs-cpu
# :alt: Five rows of ten generated faces after the last epoch on real photographs.
# Real faces after {result}`cpu/D-F3.updates:,d` updates, the same codes: KID {result}`cpu/D-F3.kid:.2f`. Light, hair and pose vary; eyes and mouths are still coarse.
# ```
#
# ```{result-table} Samples against unseen images, by profile. KID depends on the data set: compare within a column.
# :name: tab-training
# :profiles: current cpu h200
# D-F2.images | Training images | ,d
# D-F3.epochs | Epochs | .0f
# D-F2.kid_untrained | KID, untrained | .2f
# D-F2.kid | KID, one epoch | .2f
# D-F3.kid | KID, last epoch | .2f
# D-F3.kid_floor | KID, real images | .2f
# D-X11.closer_share | Samples nearer to a training image than the median unseen image | .1%
# D-F3.images_per_second | Images a second | .0f
# ```
#
# ## What this run can and cannot say
#
# LSUN's three million bedrooms could not be had, and one epoch of a few thousand images is not one
# epoch of three million: the argument from "seen only once" holds here too, but the number of
# updates is a small fraction of the paper's. What carries over is the recipe, down to the details
# of the authors' code, and the order of events.
#
# **Try this.** `radford run dcgan/training -p schedule sequential` updates both nets on every
# mini-batch: twice the updates for an epoch, and a different balance. `-p beta1 0.9` is the setting the
# paper warns of. `-p data rooms` learns bedrooms, as the paper did.
#
# ```{exercise}
# :label: ex-nonsaturating
# Early in training $D(G(z))$ is close to 0. Compare the gradients of $\log(1 - D)$ and $-\log D$ with
# respect to the logit, and say why the second is used.
# ```
#
# ```{solution} ex-nonsaturating
# :class: dropdown
# With $D = \sigma(a)$ the first has gradient $-\sigma(a)$, which vanishes when $D$ is near 0; the second has
# $\sigma(a) - 1$, which is then near $-1$: the generator learns fastest when it is losing.
# ```
