"""Multi-Fashion: two Fashion-MNIST images on one canvas, one task for each."""
