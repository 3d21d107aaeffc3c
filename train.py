"""Train a fully connected network on CIFAR-10; `python train.py --help` lists the options."""
from bnnp.runs import train_command

if __name__ == '__main__': train_command()
