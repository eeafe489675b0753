"""The start file of the `kilostack` command: gevent patches before anything else is imported."""

from gevent import monkey

monkey.patch_all()

from kilo_deploy.cli import main

if __name__ == "__main__":
    main()
