"""What an update needs: policy, critic, optimiser, the update itself."""
