"""Draw the curves of every run in a folder of logs; `python plot_results.py --help` lists the options."""
from bnnp.plots import plot_command

if __name__ == '__main__': plot_command()
