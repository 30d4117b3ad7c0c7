"""The components that come with sngan, registered through entry points like anyone's."""
