"""Environments with one defect each, planted in copies of the registered ones and of small ones made for this."""
