import os

# Numbers are compared with PyTorch's, and graphs take seconds to make: tests of the choice of a runtime set this anew.
os.environ["DPTSTREAM_RUNTIME"] = "torch"
