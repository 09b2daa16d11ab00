"""Dalal and Triggs' bootstrapping of a face detector, with hardneg as the place where hard negatives meet."""
