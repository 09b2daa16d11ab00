"""Dalal and Triggs' bootstrapping of a face detector, with hardneg as the store of hard negatives."""
