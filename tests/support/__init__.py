"""What tests of several layers share: virtual time, scripted providers."""
