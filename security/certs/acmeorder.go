package certs

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/crypto/acme"
)

// obtain orders a certificate for all domains and serves it.
func (a *ACME) obtain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, acmeTimeout)
	defer cancel()
	client, err := a.account(ctx)
	if err != nil {
		return err
	}
	order, err := client.AuthorizeOrder(ctx, acme.DomainIDs(a.domains...))
	if err != nil {
		return fmt.Errorf("ordering: %w", err)
	}
	defer a.forget()
	for _, url := range order.AuthzURLs {
		if err := a.authorize(ctx, client, url); err != nil {
			return err
		}
	}
	if order.Status != acme.StatusReady {
		if order, err = client.WaitOrder(ctx, order.URI); err != nil {
			return fmt.Errorf("waiting for the order: %w", err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: a.domains}, key)
	if err != nil {
		return err
	}
	chain, _, err := client.CreateOrderCert(ctx, order.FinalizeURL, csr, true)
	if err != nil {
		return fmt.Errorf("fetching the certificate: %w", err)
	}
	return a.adopt(chain, key)
}

// account is a client that the authority knows. Its key is made once and kept.
func (a *ACME) account(ctx context.Context) (*acme.Client, error) {
	key, err := a.accountKey()
	if err != nil {
		return nil, err
	}
	client := &acme.Client{Key: key, DirectoryURL: a.o.Directory, UserAgent: "weir"}
	if a.o.Client != nil {
		client.HTTPClient, client.RetryBackoff = a.o.Client.HTTPClient, a.o.Client.RetryBackoff
	}
	who := &acme.Account{}
	if a.o.Email != "" {
		who.Contact = []string{"mailto:" + a.o.Email}
	}
	if _, err := client.Register(ctx, who, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil, fmt.Errorf("registering: %w", err)
	}
	return client, nil
}

func (a *ACME) accountKey() (crypto.Signer, error) {
	if err := os.MkdirAll(a.o.Cache, 0o700); err != nil {
		return nil, fmt.Errorf("--acme-cache: %w", err)
	}
	file := filepath.Join(a.o.Cache, acmeAccountFile)
	b, _, err := readFile(file)
	if err == nil {
		key, err := parseKey(b)
		if err != nil {
			return nil, fmt.Errorf("--acme-cache: %s: %w", file, err)
		}
		return key, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("--acme-cache: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if b, err = keyBlock(key); err != nil {
		return nil, err
	}
	return key, a.save(acmeAccountFile, b)
}

// authorize proves one name, if the authority does not know it already.
func (a *ACME) authorize(ctx context.Context, client *acme.Client, url string) error {
	auth, err := client.GetAuthorization(ctx, url)
	if err != nil {
		return fmt.Errorf("asking what to prove: %w", err)
	}
	name := auth.Identifier.Value
	if auth.Status == acme.StatusValid {
		return nil
	}
	i := slices.IndexFunc(auth.Challenges, func(c *acme.Challenge) bool { return c.Type == "tls-alpn-01" })
	if i < 0 || !slices.Contains(a.domains, name) {
		return fmt.Errorf("the authority takes no proof by tls-alpn-01 for %s", name)
	}
	proof, err := client.TLSALPN01ChallengeCert(auth.Challenges[i].Token, name)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.challenges[name] = &proof
	a.mu.Unlock()
	if _, err := client.Accept(ctx, auth.Challenges[i]); err != nil {
		return fmt.Errorf("proving %s: %w", name, err)
	}
	if _, err := client.WaitAuthorization(ctx, url); err != nil {
		return fmt.Errorf("proving %s (its port 443 must reach --listen): %w", name, err)
	}
	return nil
}

// forget drops the proofs of an order that is over.
func (a *ACME) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.challenges)
}

// adopt checks a chain, keeps it for the next start and serves it.
func (a *ACME) adopt(chain [][]byte, key *ecdsa.PrivateKey) error {
	b, err := keyBlock(key)
	if err != nil {
		return err
	}
	text := bytes.NewBuffer(b)
	for _, der := range chain {
		if err := pem.Encode(text, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			return err
		}
	}
	p, err := a.pair(text.Bytes())
	if err != nil {
		return fmt.Errorf("what the authority issued: %w", err)
	}
	a.current.Store(p) // also if there is no room to keep it
	return a.save(acmeCertFile, text.Bytes())
}

func keyBlock(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// save puts a file into the folder, whole or not at all.
func (a *ACME) save(name string, b []byte) error {
	f, err := os.CreateTemp(a.o.Cache, "."+name) // mode 0600
	if err != nil {
		return fmt.Errorf("--acme-cache: %w", err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(a.o.Cache, name))
	}
	if err != nil {
		_ = os.Remove(f.Name()) // what was written of it is no use
		return fmt.Errorf("--acme-cache: %w", err)
	}
	return nil
}
