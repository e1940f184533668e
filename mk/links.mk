# Second names of programs in build/bin, as NAME:TARGET.
LINKS := mailq:sendmail newaliases:sendmail exim:sendmail postqueue:sendmail postcat:sendmail postsuper:sendmail
