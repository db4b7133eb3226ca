"""DPO with and without the likelihood of the chosen plays."""
