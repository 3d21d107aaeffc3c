"""Live cells and explorables: what is added to a built site so that its readers can run and change the code in their browser."""
from .build import add_live
