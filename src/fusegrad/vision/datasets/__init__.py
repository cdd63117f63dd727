"""Published image data sets, read from the files their authors distribute."""

from .cifar import CIFAR10, CIFAR100
from .folder import VisionDataset
from .mnist import EMNIST, KMNIST, MNIST, FashionMNIST, read_idx

__all__ = [
    "CIFAR10", "CIFAR100", "EMNIST", "FashionMNIST", "KMNIST", "MNIST", "VisionDataset", "read_idx",
]  # fmt: skip
